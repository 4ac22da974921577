"""How probable it is that a use of a card is fraud, decided while the customer waits.

Everything here is pure and needs no library: the same functions score an authorization, rebuild a
view, make a training set and run a backtest, so that a model is never asked about other features
than it was trained on.
"""
