"""What a model, a product or a served answer was made from, and what was made with a model.

MLflow's runs have the tags that operators and the runner set; products are STAC items below
`products/` in the bucket; serving's log names the version that has answered.
"""
