"""The HTTP half of every driver: connections that ask the egress policy, bodies that are counted, one place that repeats a request, and a
bridge on which blocking SDKs travel the same way. Knows no kind of backend."""
