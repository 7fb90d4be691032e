"""What runs this study: its scales, notebooks, report and book. The science beside it never imports it."""
