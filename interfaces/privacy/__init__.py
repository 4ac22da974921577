"""What is stored of people: of which kind each field is, and all of one person to take along."""
