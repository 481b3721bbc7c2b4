"""From a plan to a driver, one module for each kind with an SDK; each is imported when the first location of its kind is built."""
