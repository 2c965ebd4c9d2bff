"""What `new` adds to a project, and `remove` takes away.

- `skeletons/` has a small project for each kind, whose package is called `my_package`. A generated
  project starts with these `change_me` files, and `new` makes more of them under other names.
- The examples come from the template, in the release that the project has.
"""
