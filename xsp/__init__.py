"""The office: who our customers and sites are, which prefixes they have, and the files that follow from it."""
