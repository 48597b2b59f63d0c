"""Our pages, a module each: its paths and what it loads through operations. The shell is in `web/page.py`, the markup in `templates/`."""
