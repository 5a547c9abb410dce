"""The database's versions, oldest first, one file each under ``versions``; run at start, from the installed package, without network."""
