"""django-db-geventpool for MySQL: the package ships PostgreSQL only."""
