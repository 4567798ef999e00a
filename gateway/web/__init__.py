"""The HTTP surface: aiohttp requests become values, values become answers."""
