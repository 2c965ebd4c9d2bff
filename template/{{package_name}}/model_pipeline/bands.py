"""The spectral bands that the land-cover pipeline uses, and their other names."""

# Sentinel-2: blue, green, red, near infrared; all at 10 m.
BANDS = ("B02", "B03", "B04", "B08")

# The same four on Landsat 8 (surface reflectance). The sensors' bands differ slightly in width,
# which doesn't matter for classes this coarse.
FROM_LANDSAT = {"SR_B2": "B02", "SR_B3": "B03", "SR_B4": "B04", "SR_B5": "B08"}

# Other names that files may use for them: STAC's and Landsat's.
OTHER_NAMES = {
    "B02": ("blue", "SR_B2"),
    "B03": ("green", "SR_B3"),
    "B04": ("red", "SR_B4"),
    "B08": ("nir", "nir08", "SR_B5"),
}

# STAC's names, with which viewers find red, green and blue.
COMMON_NAMES = {name: others[0] for name, others in OTHER_NAMES.items()}

# The letters used in formulas of spectral indices.
IN_FORMULAS = {"B": "B02", "G": "B03", "R": "B04", "N": "B08"}
