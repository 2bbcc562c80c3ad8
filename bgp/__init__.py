"""The megaphone: tells the Internet which anycast prefixes this site serves, for as long as a lease is renewed."""
