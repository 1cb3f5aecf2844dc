"""The Chinese versions of texts that stand in English where they are declared: help, settings, click's own words."""
