"""Fingerprints of what a card was used with: no device and no internet address stands in the log.

They are keyed, as there are few enough addresses to try them all, and each kind has a key of its
own. The same device always has the same one, so that spreading over many of them is seen.
"""

from functools import partial
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

from application.keystore import Custodian
from interfaces.graphql_api.inputs import Given, Issues, Malformed

_BYTES: Final = 16
_DEGREES: Final = {"latitude": 90, "longitude": 180}


def fingerprinted(keystore: Custodian, values: Given) -> Given:
    """The device and the address of an input as the command has them; Malformed if the address is
    none, or the place is nowhere on Earth."""
    issues = Issues()
    mac = partial(_mac, keystore)
    device, address = (values["device"] or "").strip(), values["address"]
    network = None if address is None else _network(address)
    if address is not None and network is None:
        issues.add(("address",), "address", "not an internet address")
    for name, most in _DEGREES.items():
        if values[name] is not None and not -most <= values[name] <= most:
            issues.add((name,), "degrees", f"not from -{most} to {most}")
    if (values["latitude"] is None) is not (values["longitude"] is None):
        issues.add(("longitude",), "place", "a place has a latitude and a longitude")
    if issues.found:
        raise Malformed(issues)
    return {
        "device": mac("card device", device) if device else None,
        "address": None if network is None else mac("card address", network),
    }


def _network(address: str) -> str | None:
    """What an address is known by. A device changes the lower half of an IPv6 address as it likes,
    and one that stands for an IPv4 address is that."""
    try:
        found = ip_address(address.strip())
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(IPv6Network((int(found), 64), strict=False))
    return str(found)


def _mac(keystore: Custodian, purpose: str, text: str) -> str:
    return keystore.mac(purpose, text.encode())[:_BYTES].hex()
