"""Several models on equal terms: trained alike, evaluated alike, in one table and one report."""
