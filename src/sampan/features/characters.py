"""Which characters part words, and which are signs that stand for themselves; all others are of words.

Taken once from Unicode 14 (UnicodeData.txt, general categories) and kept here: a model that learned words must split them the same under
every version of Python, in batch, in a request and in its graph.
"""

from __future__ import annotations

from typing import Final


def _code_points(ranges: str) -> tuple[tuple[int, int], ...]:
    bounds = (each.split("-") for each in ranges.split())
    return tuple((int(each[0], 16), int(each[-1], 16)) for each in bounds)


# Spaces, punctuation, controls, signs of mathematics and money, modifiers such as skin tones (Z, P, Cc, Cf, Sm, Sc, Sk), and the marks
# that choose how an emoji is drawn (U+FE00 to U+FE0F); U+FFFF, which is no character and fills up texts in a graph.
SEPARATORS: Final = _code_points("""
0-2f 3a-40 5b-60 7b-a5 a7-a8 ab-ad af b1 b4 b6-b8 bb bf d7 f7 2c2-2c5 2d2-2df 2e5-2eb 2ed 2ef-2ff 375 37e 384-385 387 3f6 55a-55f
589-58a 58f 5be 5c0 5c3 5c6 5f3-5f4 600-60d 61b-61f 66a-66d 6d4 6dd 700-70d 70f 7f7-7f9 7fe-7ff 830-83e 85e 888 890-891 8e2 964-965 970
9f2-9f3 9fb 9fd a76 af0-af1 bf9 c77 c84 df4 e3f e4f e5a-e5b f04-f12 f14 f3a-f3d f85 fd0-fd4 fd9-fda 104a-104f 10fb 1360-1368 1400 166e
1680 169b-169c 16eb-16ed 1735-1736 17d4-17d6 17d8-17db 1800-180a 180e 1944-1945 1a1e-1a1f 1aa0-1aa6 1aa8-1aad 1b5a-1b60 1b7d-1b7e
1bfc-1bff 1c3b-1c3f 1c7e-1c7f 1cc0-1cc7 1cd3 1fbd 1fbf-1fc1 1fcd-1fcf 1fdd-1fdf 1fed-1fef 1ffd-1ffe 2000-2064 2066-206f 207a-207e
208a-208e 20a0-20c0 2118 2140-2144 214b 2190-2194 219a-219b 21a0 21a3 21a6 21ae 21ce-21cf 21d2 21d4 21f4-22ff 2308-230b 2320-2321
2329-232a 237c 239b-23b3 23dc-23e1 25b7 25c1 25f8-25ff 266f 2768-2775 27c0-27ff 2900-2aff 2b30-2b44 2b47-2b4c 2cf9-2cfc 2cfe-2cff 2d70
2e00-2e2e 2e30-2e4f 2e52-2e5d 3000-3003 3008-3011 3014-301f 3030 303d 309b-309c 30a0 30fb a4fe-a4ff a60d-a60f a673 a67e a6f2-a6f7
a700-a716 a720-a721 a789-a78a a838 a874-a877 a8ce-a8cf a8f8-a8fa a8fc a92e-a92f a95f a9c1-a9cd a9de-a9df aa5c-aa5f aade-aadf aaf0-aaf1
ab5b ab6a-ab6b abeb fb29 fbb2-fbc2 fd3e-fd3f fdfc fe00-fe19 fe30-fe52 fe54-fe66 fe68-fe6b feff ff01-ff0f ff1a-ff20 ff3b-ff40 ff5b-ff65
ffe0-ffe3 ffe5-ffe6 ffe9-ffec fff9-fffb ffff 10100-10102 1039f 103d0 1056f 10857 1091f 1093f 10a50-10a58 10a7f 10af0-10af6 10b39-10b3f
10b99-10b9c 10ead 10f55-10f59 10f86-10f89 11047-1104d 110bb-110c1 110cd 11140-11143 11174-11175 111c5-111c8 111cd 111db 111dd-111df
11238-1123d 112a9 1144b-1144f 1145a-1145b 1145d 114c6 115c1-115d7 11641-11643 11660-1166c 116b9 1173c-1173e 1183b 11944-11946 119e2
11a3f-11a46 11a9a-11a9c 11a9e-11aa2 11c41-11c45 11c70-11c71 11ef7-11ef8 11fdd-11fe0 11fff 12470-12474 12ff1-12ff2 13430-13438
16a6e-16a6f 16af5 16b37-16b3b 16b44 16e97-16e9a 16fe2 1bc9f-1bca3 1d173-1d17a 1d6c1 1d6db 1d6fb 1d715 1d735 1d74f 1d76f 1d789 1d7a9
1d7c3 1da87-1da8b 1e2ff 1e95e-1e95f 1ecb0 1eef0-1eef1 1f3fb-1f3ff e0001 e0020-e007f
""")

# Other symbols (So): emoji, pictures, arrows that are not of mathematics.
SYMBOLS: Final = _code_points("""
a6 a9 ae b0 482 58d-58e 60e-60f 6de 6e9 6fd-6fe 7f6 9fa b70 bf3-bf8 bfa c7f d4f d79 f01-f03 f13 f15-f17 f1a-f1f f34 f36 f38 fbe-fc5
fc7-fcc fce-fcf fd5-fd8 109e-109f 1390-1399 166d 1940 19de-19ff 1b61-1b6a 1b74-1b7c 2100-2101 2103-2106 2108-2109 2114 2116-2117
211e-2123 2125 2127 2129 212e 213a-213b 214a 214c-214d 214f 218a-218b 2195-2199 219c-219f 21a1-21a2 21a4-21a5 21a7-21ad 21af-21cd
21d0-21d1 21d3 21d5-21f3 2300-2307 230c-231f 2322-2328 232b-237b 237d-239a 23b4-23db 23e2-2426 2440-244a 249c-24e9 2500-25b6 25b8-25c0
25c2-25f7 2600-266e 2670-2767 2794-27bf 2800-28ff 2b00-2b2f 2b45-2b46 2b4d-2b73 2b76-2b95 2b97-2bff 2ce5-2cea 2e50-2e51 2e80-2e99
2e9b-2ef3 2f00-2fd5 2ff0-2ffb 3004 3012-3013 3020 3036-3037 303e-303f 3190-3191 3196-319f 31c0-31e3 3200-321e 322a-3247 3250 3260-327f
328a-32b0 32c0-33ff 4dc0-4dff a490-a4c6 a828-a82b a836-a837 a839 aa77-aa79 fd40-fd4f fdcf fdfd-fdff ffe4 ffe8 ffed-ffee fffc-fffd
10137-1013f 10179-10189 1018c-1018e 10190-1019c 101a0 101d0-101fc 10877-10878 10ac8 1173f 11fd5-11fdc 11fe1-11ff1 16b3c-16b3f 16b45
1bc9c 1cf50-1cfc3 1d000-1d0f5 1d100-1d126 1d129-1d164 1d16a-1d16c 1d183-1d184 1d18c-1d1a9 1d1ae-1d1ea 1d200-1d241 1d245 1d300-1d356
1d800-1d9ff 1da37-1da3a 1da6d-1da74 1da76-1da83 1da85-1da86 1e14f 1ecac 1ed2e 1f000-1f02b 1f030-1f093 1f0a0-1f0ae 1f0b1-1f0bf
1f0c1-1f0cf 1f0d1-1f0f5 1f10d-1f1ad 1f1e6-1f202 1f210-1f23b 1f240-1f248 1f250-1f251 1f260-1f265 1f300-1f3fa 1f400-1f6d7 1f6dd-1f6ec
1f6f0-1f6fc 1f700-1f773 1f780-1f7d8 1f7e0-1f7eb 1f7f0 1f800-1f80b 1f810-1f847 1f850-1f859 1f860-1f887 1f890-1f8ad 1f8b0-1f8b1
1f900-1fa53 1fa60-1fa6d 1fa70-1fa74 1fa78-1fa7c 1fa80-1fa86 1fa90-1faac 1fab0-1faba 1fac0-1fac5 1fad0-1fad9 1fae0-1fae7 1faf0-1faf6
1fb00-1fb92 1fb94-1fbca
""")
