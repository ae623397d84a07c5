"""A thin Helm client; it knows chart repositories only by HTTP."""
