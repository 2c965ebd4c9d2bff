"""Watch what is served and mapped: is it still like what the model was accepted on?"""
