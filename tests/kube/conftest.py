"""Real: the API server, RBAC and tokens (`control_plane`), sockets, the memory driver.

Fake: time, chance, and for decisions the API server's answers. Asserted: what is kept, asked, written and closed, and when.
"""
