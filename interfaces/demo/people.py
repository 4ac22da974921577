"""Who banks at the demo bank. Nobody does: the names are of plants and places, put together."""

from datetime import date
from random import Random
from typing import Final

from domain.customer import CustomerKind
from domain.value import value

FIRST: Final = (
    *("Alder", "Bramble", "Bryony", "Calla", "Cedar", "Clover", "Dahlia", "Elder", "Fern"),
    *("Gorse", "Hazel", "Heather", "Hollis", "Indigo", "Ivy", "Juniper", "Larch", "Laurel"),
    *("Linden", "Maple", "Marigold", "Nettle", "Olive", "Pansy", "Poppy", "Quince", "Reed"),
    *("Rowan", "Rue", "Sage", "Sorrel", "Tansy", "Teasel", "Thistle", "Violet", "Yarrow"),
)
LAST: Final = (
    *("Ashgrove", "Bywater", "Coldbrook", "Driftstone", "Eastmarsh", "Farfield", "Greenbank"),
    *("Highmoor", "Inglenook", "Kestrelhill", "Longmeadow", "Millrace", "Northcove", "Oxbow"),
    *("Pebbleshore", "Quarryside", "Ravenscar", "Saltmarsh", "Thornwick", "Underhill"),
    *("Valleyford", "Westerlea", "Yewbarrow", "Zephyrdale"),
)
SHOPS: Final = ("Oxbow Bakery", "Lantern Books", "Tin Kettle Hardware", "Blue Door Bicycles")
COUNTRIES: Final = ("AT", "BE", "DE", "ES", "FI", "FR", "IE", "IT", "NL", "PT")


@value
class Person:
    """A customer to be. `income` and `rent` are a month's, in cents; a shop earns by the week."""

    number: int
    kind: CustomerKind
    name: str
    country: str
    born: date | None
    income: int
    rent: int
    thrift: float
    """What share of the income is saved."""

    @property
    def email(self) -> str:
        """In a domain that is reserved for examples (RFC 2606)."""
        return f"{self.name.lower().replace(' ', '.')}@example.com"

    @property
    def national_id(self) -> str | None:
        """Known of every third person, and of no country's making."""
        known = self.kind is CustomerKind.PERSON and self.number % 3 == 1
        return f"EXAMPLE-{self.number:04}" if known else None

    @property
    def address(self) -> str:
        return f"{self.number} Example Street, Sampleton, {self.country}"


def people(random: Random) -> list[Person]:
    """Thirty-six persons and four shops."""
    last = [*LAST, *LAST]
    random.shuffle(last)
    persons = [
        Person(
            number=number,
            kind=CustomerKind.PERSON,
            name=f"{first} {last[number]}",
            country=random.choice(COUNTRIES),
            born=date(random.randint(1948, 2004), random.randint(1, 12), random.randint(1, 28)),
            income=random.randrange(170_000, 520_000, 5_000),
            rent=random.randrange(52_000, 125_000, 1_000),
            thrift=random.choice((0.05, 0.1, 0.2)),
        )
        for number, first in enumerate(FIRST, start=1)
    ]
    shops = [
        Person(
            number=number,
            kind=CustomerKind.BUSINESS,
            name=name,
            country=random.choice(COUNTRIES),
            born=None,
            income=random.randrange(250_000, 420_000, 10_000),
            rent=random.randrange(150_000, 260_000, 10_000),
            thrift=0.0,
        )
        for number, name in enumerate(SHOPS, start=len(persons) + 1)
    ]
    return [*persons, *shops]
