"""The spectral bands that the land-cover pipeline works with, and what others call them."""

# Sentinel-2: blue, green, red, near infrared; all of 10 m.
BANDS = ("B02", "B03", "B04", "B08")

# The same four on Landsat 8 (surface reflectance). The sensors' bands differ a little in width;
# for classes as coarse as ours that does not matter.
FROM_LANDSAT = {"SR_B2": "B02", "SR_B3": "B03", "SR_B4": "B04", "SR_B5": "B08"}

# What files may call each of them, besides its own name: as STAC does, and as Landsat does.
OTHER_NAMES = {
    "B02": ("blue", "SR_B2"),
    "B03": ("green", "SR_B3"),
    "B04": ("red", "SR_B4"),
    "B08": ("nir", "SR_B5"),
}

# The letters that formulas of spectral indices use.
IN_FORMULAS = {"B": "B02", "G": "B03", "R": "B04", "N": "B08"}
