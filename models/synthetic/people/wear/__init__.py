"""What people wear, and the neck and shoulders that it hangs on: clothes, glasses, hats, scarves, jewels."""
