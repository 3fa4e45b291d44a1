"""Sample photos, `coffee.png` and `cat.png`, for the demo and the tests. `README.md` names their origin."""
