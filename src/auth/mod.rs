//! Who is asking, and what they may do: users, projects, members, roles, robots, bearer tokens.
