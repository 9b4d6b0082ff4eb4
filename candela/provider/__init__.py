"""The provider: offer a machine, run other people's code safely, get paid for it."""
