"""Objects in a bucket of any S3-compatible storage. Knows nothing of what they hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from service.errors import NotFound, StorageFull, StorageUnavailable
from service.objects import job_folder
from service.settings import Settings

#: What storages answer where a quota is spent or a disk is full: Swift, Ceph, MinIO.
FULL = {"EntityTooLarge", "QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"}
TRANSFER = TransferConfig(multipart_threshold=64 * 1024 * 1024, max_concurrency=2)


class S3Objects:
    """Objects in a bucket of any S3-compatible storage. boto3 retries what may be retried."""

    def __init__(self, settings: Settings, *, bucket: str, prefix: str = ""):
        self.bucket, self.prefix, self._ttl_s = bucket, f"{prefix}/" if prefix else "", settings.presign_ttl_s
        self._s3 = connect(settings, settings.s3_endpoint_url)
        # The name of the host is signed, so a URL is made for the one that it will be opened at; nothing is sent there.
        self._signer = connect(settings, settings.s3_public_url) if settings.s3_public_url else self._s3

    def put(self, key: str, body: bytes | Path, content_type: str = "application/octet-stream") -> None:
        place = {"Bucket": self.bucket, "Key": self.prefix + key}
        with _s3_failures(key), _room():
            if isinstance(body, bytes):
                self._s3.put_object(**place, Body=body, ContentType=content_type)
            else:
                self._s3.upload_file(
                    str(body), *place.values(), ExtraArgs={"ContentType": content_type}, Config=TRANSFER
                )

    def get(self, key: str) -> bytes:
        with _s3_failures(key):
            body: bytes = self._s3.get_object(Bucket=self.bucket, Key=self.prefix + key)["Body"].read()
            return body

    def download(self, key: str, path: Path) -> None:
        with _s3_failures(key):
            self._s3.download_file(self.bucket, self.prefix + key, str(path), Config=TRANSFER)

    def exists(self, key: str) -> bool:
        try:
            with _s3_failures(key):
                self._s3.head_object(Bucket=self.bucket, Key=self.prefix + key)
            return True
        except NotFound:
            return False

    def list(self, prefix: str) -> list[str]:
        with _s3_failures(prefix):
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix + prefix)
            return sorted(
                entry["Key"].removeprefix(self.prefix) for page in pages for entry in page.get("Contents", ())
            )

    def delete(self, key: str) -> None:
        with _s3_failures(key):
            self._s3.delete_object(Bucket=self.bucket, Key=self.prefix + key)

    def delete_prefix(self, prefix: str) -> int:
        keys = self.list(job_folder(prefix))
        with _s3_failures(prefix):
            for start in range(0, len(keys), 1000):
                entries = [{"Key": self.prefix + key} for key in keys[start : start + 1000]]
                answer = self._s3.delete_objects(Bucket=self.bucket, Delete={"Objects": entries, "Quiet": True})
                if answer.get("Errors"):
                    raise StorageUnavailable("The object storage did not erase every object.")
        return len(keys)

    def abort_stale(self, age_s: float) -> int:
        before = datetime.now(UTC) - timedelta(seconds=age_s)
        with _s3_failures(self.bucket):
            pages = self._s3.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=self.prefix)
            stale = [one for page in pages for one in page.get("Uploads", ()) if one["Initiated"] <= before]
            for upload in stale:
                place = {"Bucket": self.bucket, "Key": upload["Key"], "UploadId": upload["UploadId"]}
                self._s3.abort_multipart_upload(**place)
        return len(stale)

    def presign(self, key: str, filename: str, content_type: str, method: str = "GET") -> str | None:
        answer = {
            "ResponseContentType": content_type,
            "ResponseContentDisposition": f'inline; filename="{filename}"',
        }
        place = {"Bucket": self.bucket, "Key": self.prefix + key}
        call = {"GET": "get_object", "HEAD": "head_object"}[method]
        url: str = self._signer.generate_presigned_url(call, Params=place | answer, ExpiresIn=self._ttl_s)
        return url

    def local_path(self, key: str) -> Path | None:
        return None

    def check(self) -> None:
        try:
            with _s3_failures(self.bucket):
                self._s3.head_bucket(Bucket=self.bucket)
        except NotFound:
            raise StorageUnavailable(f"There is no bucket '{self.bucket}'.") from None


def connect(settings: Settings, endpoint_url: str | None) -> Any:
    """A client of the storage at that address; None is Amazon's."""
    secret = settings.s3_secret_access_key
    return boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key_id,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        config=Config(
            signature_version="s3v4",
            connect_timeout=5,
            read_timeout=30,
            retries={"mode": "standard", "total_max_attempts": 4},
            s3={"addressing_style": "path" if endpoint_url else "auto"},
        ),
    )


@contextmanager
def _s3_failures(key: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if _code(error) in ("404", "NoSuchKey"):
            raise NotFound(f"There is no object '{key}'.") from error
        raise StorageUnavailable("The object storage refused; see the log.") from error
    except (BotoCoreError, Boto3Error) as error:
        raise StorageUnavailable("The object storage does not answer; try again in a moment.") from error


@contextmanager
def _room() -> Iterator[None]:
    """Around what stores something."""
    try:
        yield
    except (ClientError, Boto3Error) as error:
        refusal = error if isinstance(error, ClientError) else error.__context__  # that of one part of a large file
        if isinstance(refusal, ClientError) and _code(refusal) in FULL:
            raise StorageFull("The object storage has no room left.") from error
        raise


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code"))
