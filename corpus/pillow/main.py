"""Draws a picture and takes it through image formats and back."""
import hashlib
import io

from PIL import Image, ImageDraw, ImageFilter, ImageFont, features

picture = Image.linear_gradient("L").convert("RGB").resize((160, 120))
draw = ImageDraw.Draw(picture)
draw.ellipse((20, 20, 100, 100), fill="tomato", outline="white")
draw.text((40, 50), "exuvia", fill="black", font=ImageFont.load_default(size=20))
picture = picture.filter(ImageFilter.GaussianBlur(1))

for form, settings in {"PNG": {}, "JPEG": {"quality": 90}, "WEBP": {"lossless": True}, "GIF": {}, "TIFF": {}, "BMP": {}}.items():
    buffer = io.BytesIO()
    picture.save(buffer, form, **settings)
    buffer.seek(0)
    again = Image.open(buffer)
    again.load()
    digest = hashlib.sha256(again.convert("RGB").tobytes()).hexdigest()[:16]
    print(form, again.size, again.mode, len(buffer.getvalue()), digest)

for name in ("webp", "jpg", "zlib", "freetype2", "littlecms2"):
    print(name, features.check(name), features.version(name))
print(len(Image.registered_extensions()), "endings")
