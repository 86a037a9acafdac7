# SPDX-License-Identifier: Apache-2.0
"""Parity with the official implementation: recorded inputs, weights, noise and outputs of it, to compare with.

A case is a folder with case.json, which names every constructor argument, input and output, and tensors.safetensors.
`python -m uva_core.official.parity DIR` runs every case below DIR. What a case records and this package does not
compute is listed as unchecked, never passed over.
"""
