"""What runs inside a job on a framework image: `train` (script mode) and `serve` (inference host).

Copied into the image's environment as `modelwright_toolkit`, so it stands alone: the standard library and, for S3,
boto3. Nothing here imports modelwright, and modelwright imports nothing from here. The contract is the one of AWS's
sagemaker-training and sagemaker-inference toolkits.
"""
