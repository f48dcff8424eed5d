"""Our tests. A package and no bare folder: dependencies bring packages of this name too."""
