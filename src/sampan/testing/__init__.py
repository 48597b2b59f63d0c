"""Contract suites. Whoever replaces a part inherits the suite of its port, and so do our own tests.

class TestMyBlobs(BlobsContract):
    def open_blobs(self, folder): return MyBlobs(folder)
"""
