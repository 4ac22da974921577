"""Records: the bank, the event log, the codec and the vault."""
