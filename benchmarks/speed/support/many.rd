<!-- A catalogue of many spectra in the hands of DaCHS: what dachs.py compares our speed with. -->
<resource schema="many">
  <meta name="title">Many spectra, published by DaCHS</meta>
  <meta name="description">The peer that our own services are compared with.</meta>
  <meta name="creationDate">2026-01-01T00:00:00Z</meta>
  <meta name="subject">spectroscopy</meta>
  <meta name="creator">Nobody, N.</meta>
  <meta name="ssap.dataSource">survey</meta>
  <meta name="ssap.creationType">archival</meta>
  <meta name="productType">spectrum</meta>
  <meta name="ssap.testQuery">MAXREC=1</meta>

  <table id="raw_data" onDisk="True" adql="hidden" namePath="//ssap#instance">
    <LOOP listItems="ssa_dateObs ssa_dstitle ssa_pubDID ssa_targname ssa_targclass ssa_length ssa_specstart ssa_specend ssa_timeExt ssa_snr ssa_redshift">
      <events><column original="\item"/></events>
    </LOOP>
    <mixin>//products#table</mixin>
    <mixin>//ssap#plainlocation</mixin>
    <mixin>//ssap#simpleCoverage</mixin>
  </table>

  <data id="import">
    <recreateAfter>make_view</recreateAfter>
    <sources pattern="data/*.csv"/>
    <csvGrammar>
      <rowfilter procDef="//products#define">
        <bind key="table">"\schema.raw_data"</bind>
        <bind key="accref">"many/"+@obs_id</bind>
        <bind key="path">"many/"+@obs_id</bind>
        <bind key="fsize">1000</bind>
        <bind key="mime">"application/x-votable+xml"</bind>
        <bind key="preview">None</bind>
        <bind key="preview_mime">None</bind>
      </rowfilter>
    </csvGrammar>
    <make table="raw_data">
      <rowmaker idmaps="*">
        <apply procDef="//ssap#fill-plainlocation">
          <bind key="ra">float(@s_ra)</bind>
          <bind key="dec">float(@s_dec)</bind>
          <bind key="aperture">3/3600.</bind>
        </apply>
        <map key="ssa_dateObs">float(@mjd)</map>
        <map key="ssa_dstitle">@target_name</map>
        <map key="ssa_targname">@target_name</map>
        <map key="ssa_targclass">None</map>
        <map key="ssa_redshift">float(@redshift)</map>
        <map key="ssa_snr">float(@snr)</map>
        <map key="ssa_length">12</map>
        <map key="ssa_timeExt">900.</map>
        <map key="ssa_specstart">float(@em_min)</map>
        <map key="ssa_specend">float(@em_max)</map>
        <map key="ssa_pubDID">"ivo://org.example.peer/~?"+@obs_id</map>
      </rowmaker>
    </make>
  </data>

  <table id="data" onDisk="True" adql="True">
    <mixin sourcetable="raw_data" copiedcolumns="*" ssa_aperture="3.3/3600."
      ssa_fluxunit="''" ssa_spectralunit="'Angstrom'" ssa_bandpass="'Optical'"
      ssa_collection="'SDSS'" ssa_fluxcalib="'RELATIVE'"
      ssa_fluxucd="'phot.flux.density;em.wl'" ssa_speccalib="'ABSOLUTE'"
      ssa_spectralucd="'em.wl'" ssa_specres="(ssa_specstart+ssa_specend)/2/1800"
    >//ssap#view</mixin>
    <mixin calibLevel="2" coverage="ssa_region" sResolution="ssa_spaceres" oUCD="ssa_fluxucd" emUCD="ssa_spectralucd">//obscore#publishSSAPMIXC</mixin>
  </table>
  <data id="make_view" auto="False"><make table="data"/></data>

  <service id="ssa" allowed="ssap.xml">
    <meta name="shortName">many SSAP</meta>
    <meta name="ssap.complianceLevel">full</meta>
    <publish render="ssap.xml" sets="ivo_managed"/>
    <ssapCore queriedTable="data"><FEED source="//ssap#hcd_condDescs"/></ssapCore>
  </service>
</resource>
