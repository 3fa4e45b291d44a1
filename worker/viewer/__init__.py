"""What a report is made of: a page, its style and script, and Google's `<model-viewer>`. `README.md` names its origin."""
