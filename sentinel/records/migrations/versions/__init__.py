"""One step each: a revision once released is never edited."""
