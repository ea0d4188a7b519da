"""Object stores on loopback: moto as S3, Azurite as Azure's blob storage."""

import contextlib
import os
import subprocess

import boto3
from azure.core.exceptions import AzureError
from azure.storage.blob import BlobServiceClient
from moto.server import ThreadedMotoServer

from service import ANSWERED_WITHIN_S, free_port, until

# Azurite's default account, whose key is public.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@contextlib.contextmanager
def s3(bucket):
    """A store with an empty bucket, and the environment variables of the service for it."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        client = boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="us", aws_secret_access_key="secret"
        )
        client.create_bucket(Bucket=bucket)
        yield S3(client, bucket), {
            "AWS_ENDPOINT": url, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "us", "AWS_SECRET_ACCESS_KEY": "secret",
        }
    finally:
        server.stop()


class S3:
    def __init__(self, client, bucket):
        self.client, self.bucket = client, bucket

    def objects(self):
        """The sizes of the objects by name."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return {found["Key"]: found["Size"] for page in pages for found in page.get("Contents", [])}

    def read(self, name):
        return self.client.get_object(Bucket=self.bucket, Key=name)["Body"].read()

    def uploads(self):
        """The uploads that were neither completed nor aborted."""
        return self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])


@contextlib.contextmanager
def azure(container, folder):
    """Like `s3`, with a container in Azure's blob storage."""
    port = free_port()
    command = [
        os.environ["AZURITE"], "--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence", "--silent",
        "--skipApiVersionCheck", "--disableTelemetry",
    ]
    with (folder / "azurite.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    client = BlobServiceClient(f"{url}/{ACCOUNT}", credential=KEY, retry_total=0)

    def is_created():
        try:
            return client.create_container(container, timeout=ANSWERED_WITHIN_S)
        except AzureError:
            assert process.poll() is None, (folder / "azurite.log").read_text()
            return None

    try:
        yield Azure(until(is_created, "Azurite answers")), {
            "AZURE_STORAGE_USE_EMULATOR": "true", "AZURITE_BLOB_STORAGE_URL": url,
        }
    finally:
        process.terminate()
        process.wait()


class Azure:
    def __init__(self, container):
        self.container = container

    def objects(self):
        return {blob.name: blob.size for blob in self.container.list_blobs()}

    def read(self, name):
        return self.container.download_blob(name).readall()
