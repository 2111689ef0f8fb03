"""What the private servers of the tests are started with."""

#: Enough for the tests, few enough that a leak of connections is seen as one.
SERVER_OPTIONS = {"max_connections": "60", "innodb_buffer_pool_size": "64M"}
