"""What `new` adds to a project, and `remove` takes away: files of one's own from a release's own.

- `skeletons/`: a small project whose package is called `my_package`. A generated project starts
  with its `change_me` files, and `new` makes more of them under other names.
- the examples of the template, from the release that the project has.
"""
