"""How much? From readings and owners to charges. Pure: no I/O, no clock, no library but the standard one."""
