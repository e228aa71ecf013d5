"""The two runtimes: ``blocking`` over requests, ``aio`` over aiohttp. Neither imports the other's library."""
