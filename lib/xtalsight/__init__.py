"""xtalsight: two-dimensional diffraction fingerprints of crystals and the networks that tell them apart."""
