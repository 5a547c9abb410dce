"""The asynchronous half of the spine: what comes in is kept, judged, answered and told; each subject is a module of its own."""
