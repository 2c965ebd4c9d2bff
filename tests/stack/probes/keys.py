"""Ask the object store with right, wrong and no keys. Prints the answers as JSON.

Usage: keys.py ROOT
"""

import json
import os

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

import gaiaflow

gaiaflow.connect()
BUCKET = os.environ["S3_BUCKET"]
KEY = "keys/probe.txt"
boto3.client("s3").put_object(Bucket=BUCKET, Key=KEY, Body=b"only with keys")

ID, SECRET = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
clients = {
    "right": boto3.client("s3"),
    "wrong secret": boto3.client("s3", aws_access_key_id=ID, aws_secret_access_key="wrong"),
    "wrong id": boto3.client("s3", aws_access_key_id="wrong", aws_secret_access_key=SECRET),
    "none": boto3.client("s3", config=Config(signature_version=UNSIGNED)),
}
answers = {}
for name, client in clients.items():
    calls = {
        "buckets": client.list_buckets,
        "list": lambda client=client: client.list_objects_v2(Bucket=BUCKET),
        "get": lambda client=client: client.get_object(Bucket=BUCKET, Key=KEY),
        "put": lambda client=client: client.put_object(Bucket=BUCKET, Key=KEY, Body=b"x"),
        "delete": lambda client=client: client.delete_object(Bucket=BUCKET, Key=KEY),
    }
    for verb, call in calls.items():
        if name == "right" and verb in ("put", "delete"):
            continue
        try:
            answers[f"{name}: {verb}"] = call()["ResponseMetadata"]["HTTPStatusCode"]
        except ClientError as error:
            answers[f"{name}: {verb}"] = error.response["ResponseMetadata"]["HTTPStatusCode"]
body = clients["right"].get_object(Bucket=BUCKET, Key=KEY)["Body"].read().decode()
print(json.dumps({"answers": answers, "body": body, "path": f"/{BUCKET}/{KEY}"}))
