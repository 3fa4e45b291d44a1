"""What the page of a report is made of, with Google's ``<model-viewer>``. `README.md` names its origin."""
