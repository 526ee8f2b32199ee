<!-- LAMOST spectra in the hands of DaCHS: what test_vo_dachs.py compares our services with. -->
<resource schema="lamost">
  <meta name="title">LAMOST spectra, published by DaCHS</meta>
  <meta name="description">The peer that our own services are compared with.</meta>
  <meta name="creationDate">2026-01-01T00:00:00Z</meta>
  <meta name="subject">spectroscopy</meta>
  <meta name="creator">Nobody, N.</meta>
  <meta name="ssap.dataSource">survey</meta>
  <meta name="ssap.creationType">archival</meta>
  <meta name="productType">spectrum</meta>
  <meta name="ssap.testQuery">MAXREC=1</meta>

  <table id="raw_data" onDisk="True" adql="hidden" namePath="//ssap#instance">
    <LOOP listItems="ssa_dateObs ssa_dstitle ssa_targname ssa_targclass ssa_length ssa_specstart ssa_specend ssa_timeExt ssa_snr ssa_redshift">
      <events><column original="\item"/></events>
    </LOOP>
    <mixin>//products#table</mixin>
    <mixin>//ssap#plainlocation</mixin>
    <mixin>//ssap#simpleCoverage</mixin>
  </table>

  <data id="import">
    <recreateAfter>make_view</recreateAfter>
    <sources pattern="data/*.fits.gz"/>
    <fitsProdGrammar qnd="True">
      <rowfilter procDef="//products#define">
        <bind key="table">"\schema.raw_data"</bind>
        <bind key="path">\fullDLURL{sdl}</bind>
        <bind key="fsize">100000</bind>
        <bind key="datalink">"\rdId#sdl"</bind>
        <bind key="mime">"application/x-votable+xml"</bind>
      </rowfilter>
    </fitsProdGrammar>
    <make table="raw_data">
      <rowmaker idmaps="*">
        <var key="start">10**@COEFF0</var>
        <apply procDef="//ssap#fill-plainlocation">
          <bind key="ra">float(@RA)</bind>
          <bind key="dec">float(@DEC)</bind>
          <bind key="aperture">3.3/3600</bind>
        </apply>
        <!-- the header's times are those of Beijing, eight hours ahead -->
        <apply name="times"><code>
          import datetime
          from gavo.utils import pyfits
          ends = [dateTimeToMJD(parseISODT(vars[k]) - datetime.timedelta(hours=8))
            for k in ("DATE_BEG", "DATE_END")]
          vars["middle"] = sum(ends)/2
          with pyfits.open(vars["parser_"].sourceToken) as hdus:
            n = len(hdus[1].data["FLUX"][0]) if len(hdus) > 1 else hdus[0].data.shape[1]
          vars["n"] = n
        </code></apply>
        <map key="ssa_dateObs">@middle</map>
        <map key="ssa_dstitle">"LAMOST {}".format(@DESIG)</map>
        <map key="ssa_targname">@DESIG</map>
        <map key="ssa_targclass">vars.get("CLASS")</map>
        <map key="ssa_redshift">vars.get("Z")</map>
        <map key="ssa_snr">vars.get("SNRR")</map>
        <map key="ssa_length">@n</map>
        <map key="ssa_timeExt">vars.get("EXPTIME")</map>
        <map key="ssa_specstart">10**@COEFF0*1e-10</map>
        <map key="ssa_specend">10**(@COEFF0+@COEFF1*(@n-1))*1e-10</map>
      </rowmaker>
    </make>
  </data>

  <table id="data" onDisk="True" adql="True">
    <meta name="_associatedDatalinkService">
      <meta name="serviceId">sdl</meta>
      <meta name="idColumn">ssa_pubDID</meta>
    </meta>
    <mixin sourcetable="raw_data" copiedcolumns="*" ssa_aperture="3.3/3600."
      ssa_fluxunit="''" ssa_spectralunit="'Angstrom'" ssa_bandpass="'Optical'"
      ssa_collection="'LAMOST-LRS'" ssa_fluxcalib="'RELATIVE'"
      ssa_fluxucd="'phot.flux.density;em.wl'" ssa_speccalib="'ABSOLUTE'"
      ssa_spectralucd="'em.wl'" ssa_specres="(ssa_specstart+ssa_specend)/2/1800"
    >//ssap#view</mixin>
    <mixin calibLevel="2" coverage="ssa_region" sResolution="ssa_spaceres" oUCD="ssa_fluxucd" emUCD="ssa_spectralucd">//obscore#publishSSAPMIXC</mixin>
  </table>
  <data id="make_view" auto="False"><make table="data"/></data>

  <table id="instance" onDisk="False">
    <mixin ssaTable="data" spectralDescription="Wavelength" fluxDescription="Flux">//ssap#sdm-instance</mixin>
    <meta name="description">One spectrum.</meta>
  </table>
  <data id="build_spectrum">
    <embeddedGrammar><iterator>
      <code>
        import urllib.parse
        from gavo.utils import pyfits
        path = os.path.join(base.getConfig("inputsDir"),
          urllib.parse.unquote(self.sourceToken["ssa_pubDID"].split("?", 1)[-1]))
        with pyfits.open(path) as hdus:
          if len(hdus) &gt; 1:
            rows = hdus[1].data
            pairs = list(zip(rows["WAVELENGTH"][0].tolist(), rows["FLUX"][0].tolist()))
          else:
            # the third row holds wavelengths in some releases and something else in others
            head, fluxes = hdus[0].header, hdus[0].data[0].tolist()
            pairs = [(10**(head["COEFF0"]+head["COEFF1"]*i), f) for i, f in enumerate(fluxes)]
        for spectral, flux in pairs:
          yield {"spectral": spectral, "flux": flux}
      </code>
    </iterator></embeddedGrammar>
    <make table="instance"><parmaker><apply procDef="//ssap#feedSSAToSDM"/></parmaker></make>
  </data>

  <service id="sdl" allowed="dlget,dlmeta">
    <meta name="title">Datalink</meta>
    <datalinkCore>
      <descriptorGenerator procDef="//soda#sdm_genDesc"><bind key="ssaTD">"\rdId#data"</bind></descriptorGenerator>
      <dataFunction procDef="//soda#sdm_genData"><bind key="builder">"\rdId#build_spectrum"</bind></dataFunction>
      <FEED source="//soda#sdm_plainfluxcalib"/>
      <FEED source="//soda#sdm_cutout"/>
      <FEED source="//soda#sdm_format"/>
    </datalinkCore>
  </service>
  <service id="ssa" allowed="ssap.xml">
    <meta name="shortName">lamost SSAP</meta>
    <meta name="ssap.complianceLevel">full</meta>
    <publish render="ssap.xml" sets="ivo_managed"/>
    <ssapCore queriedTable="data"><FEED source="//ssap#hcd_condDescs"/></ssapCore>
  </service>
</resource>
