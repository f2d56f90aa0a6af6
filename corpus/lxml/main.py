"""XPath, XSLT and a schema on a small document, and broken HTML."""
from pathlib import Path

from lxml import etree, html, objectify

HERE = Path(__file__).parent
books = etree.parse(HERE / "books.xml")
print(books.xpath("//book[@year > 1950]/title/text()"))
print(books.xpath("sum(//book/pages)"), books.xpath("re:replace('a-b', '-', 'g', '+')", namespaces={"re": "http://exslt.org/regular-expressions"}))
print(etree.XSLT(etree.parse(HERE / "books.xsl"))(books))
schema = etree.RelaxNG(etree.parse(HERE / "books.rng"))
print("valid:", schema.validate(books))
books.getroot().append(etree.Element("magazine"))
print("valid:", schema.validate(books), schema.error_log.last_error.message)
page = html.fromstring("<p>one<p>two <a href='/three'>three")
page.make_links_absolute("http://localhost/")
print(etree.tostring(page, pretty_print=True).decode())
print(objectify.fromstring("<a><b>3</b></a>").b + 4)
print(etree.tostring(etree.fromstring("<ä>ö</ä>".encode("latin-1"), etree.XMLParser(encoding="iso-8859-1")), encoding="utf-8").decode())
