"""One file per sub-command: ``SUMMARY``, ``add_arguments(parser)``, ``run(args) -> exit status``; ``sentinel.cli`` lists them."""
