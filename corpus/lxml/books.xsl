<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
  <xsl:output method="text"/>
  <xsl:template match="/books">
    <xsl:for-each select="book">
      <xsl:sort select="pages" data-type="number"/>
      <xsl:value-of select="concat(title, ': ', pages, '&#10;')"/>
    </xsl:for-each>
  </xsl:template>
</xsl:stylesheet>
