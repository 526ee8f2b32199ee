"""What the timings of the page share: a made-up archive behind the real interface, and clocks."""
