"""Enumerations that several parts of the schema show, described once and before any of them."""

import strawberry

from domain.customer import CustomerKind, CustomerStatus, RiskRating, Segment
from projections.risk_profile import RiskBand

strawberry.enum(CustomerKind, description="Whether it is a person or a business.")
strawberry.enum(CustomerStatus, description="Where a customer is in dealing with the bank.")
strawberry.enum(RiskRating, description="How much risk the bank sees in a customer.")
strawberry.enum(Segment, description="How the bank serves a customer.")
strawberry.enum(RiskBand, description="How risky a customer's cards have been used of late.")

__all__ = ["CustomerKind", "CustomerStatus", "RiskBand", "RiskRating", "Segment"]
