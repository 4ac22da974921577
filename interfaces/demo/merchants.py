"""Where the demo bank's customers pay. None of these exists, and no network has given their ids."""

from enum import StrEnum, unique
from typing import Final

from domain.card import Channel
from domain.spending import Merchant
from domain.value import value


@unique
class Trade(StrEnum):
    """What is sold, which says how it is paid for."""

    GROCERIES = "GROCERIES"
    KIOSK = "KIOSK"
    CAFE = "CAFE"
    PHARMACY = "PHARMACY"
    CINEMA = "CINEMA"
    FUEL = "FUEL"
    HOTEL = "HOTEL"
    ONLINE = "ONLINE"
    CASH = "CASH"


@value
class Place:
    """In degrees."""

    latitude: float
    longitude: float


@value
class Shop:
    """`place` is None for one that is only on the internet; prices are in cents."""

    trade: Trade
    merchant: Merchant
    place: Place | None
    cheapest: int
    dearest: int

    @property
    def channel(self) -> Channel:
        if self.trade is Trade.CASH:
            return Channel.ATM
        return Channel.ECOMMERCE if self.place is None else Channel.POINT_OF_SALE


PLACES: Final = {
    "AT": Place(latitude=48.2, longitude=16.4),
    "BE": Place(latitude=50.9, longitude=4.4),
    "DE": Place(latitude=52.5, longitude=13.4),
    "ES": Place(latitude=40.4, longitude=-3.7),
    "FI": Place(latitude=60.2, longitude=24.9),
    "FR": Place(latitude=48.9, longitude=2.4),
    "IE": Place(latitude=53.3, longitude=-6.3),
    "IT": Place(latitude=41.9, longitude=12.5),
    "NL": Place(latitude=52.4, longitude=4.9),
    "PT": Place(latitude=38.7, longitude=-9.1),
}
"""One town in each country is enough: that of its capital, to a tenth of a degree."""

_CHAINS: Final = (
    ("GREENBASKET", "Green Basket Grocers", Trade.GROCERIES, "5411", 2_000, 9_500),
    ("HALFMOON", "Half Moon Market", Trade.GROCERIES, "5411", 1_500, 6_500),
    ("CORNERKIOSK", "Corner Kiosk", Trade.KIOSK, "5994", 800, 2_500),
    ("PAPERBOAT", "Paper Boat Cafe", Trade.CAFE, "5812", 1_200, 4_500),
    ("HARBOURPHARM", "Harbour Pharmacy", Trade.PHARMACY, "5912", 1_000, 4_500),
    ("NIGHTOWL", "Night Owl Cinema", Trade.CINEMA, "7832", 1_200, 3_600),
    ("RIVERSIDE", "Riverside Fuel", Trade.FUEL, "5542", 3_000, 7_500),
    ("SEAVIEW", "Sea View Hotel", Trade.HOTEL, "7011", 7_000, 11_000),
    ("TOWNCASH", "Town Cash Machine", Trade.CASH, "6011", 2_000, 8_000),
)


def _branch(chain: tuple[str, str, Trade, str, int, int], country: str) -> Shop:
    code, name, trade, mcc, cheapest, dearest = chain
    merchant = Merchant(merchant_id=f"{code}{country}", name=name, mcc=mcc, country=country)
    return Shop(
        trade=trade,
        merchant=merchant,
        place=PLACES[country],
        cheapest=cheapest,
        dearest=dearest,
    )


def _online(code: str, name: str, mcc: str, country: str, prices: tuple[int, int]) -> Shop:
    merchant = Merchant(merchant_id=code, name=name, mcc=mcc, country=country)
    cheapest, dearest = prices
    return Shop(
        trade=Trade.ONLINE, merchant=merchant, place=None, cheapest=cheapest, dearest=dearest
    )


BRANCHES: Final = {
    (trade, country): tuple(_branch(chain, country) for chain in _CHAINS if chain[2] is trade)
    for trade in dict.fromkeys(chain[2] for chain in _CHAINS)
    for country in PLACES
}
"""Every chain is in every country."""

THIMBLE: Final = _online("THIMBLETHREAD", "Thimble & Thread", "5651", "IE", (2_500, 9_000))
POSTERS: Final = _online("PAPERMOON", "Paper Moon Posters", "5971", "NL", (2_000, 6_500))
LANTERN: Final = _online("LANTERNBOOKS", "Lantern Books Online", "5942", "DE", (1_500, 5_500))
KETTLE: Final = _online("TINKETTLE", "Tin Kettle Electronics", "5732", "AT", (3_000, 9_500))
DICE: Final = _online("LUCKYACORN", "Lucky Acorn Dice", "7995", "IE", (1_000, 5_000))
PHONES: Final = _online("GLASSFROG", "Glass Frog Phones", "4812", "FR", (20_000, 60_000))
CLOCKS: Final = _online("CUCKOOCLOCKS", "Cuckoo & Daughters", "5944", "CH", (2_000, 9_000))
CARS: Final = _online("OPENROAD", "Open Road Car Hire", "7512", "IT", (9_000, 20_000))
FILMS: Final = _online("OWLSCREEN", "Owl Screen Films", "4899", "NL", (1_299, 1_299))

ONLINE: Final = (THIMBLE, POSTERS, LANTERN, KETTLE)
"""Where people order things. The others are for episodes."""
