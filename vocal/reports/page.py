"""What every report shares: the frame of a page that needs no script and nothing from outside, and its style."""

import hashlib
from base64 import b64encode
from html import escape

from vocal import charts, pictures
from vocal.types import Language


def page_of(title: str, main: str, footer: str, language: Language, forms: bool = False) -> str:
    """A whole page in HTML. main and footer are HTML already. forms: it is served, and may send forms back."""
    may_send = "'self'" if forms else "'none'"
    policy = f"default-src 'none'; style-src '{STYLE_HASH}'; base-uri 'none'; form-action {may_send}"
    return (
        f'<!DOCTYPE html>\n<html lang="{language}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="same-origin">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body>{charts.CHART_SYMBOLS}<main>{main}</main><footer>{footer}</footer></body></html>\n"
    )


PAGE_STYLE = """
:root{--paper:#fff;--ink:#1c242e;--muted:#55606d;--soft:#98a2ae;--rule:#e3e7ec;--track:#eef1f4;
--blue:#1d5d9f;--blue-wash:#e4eef8;--slate:#4a5360;--slate-wash:#e4e7eb;--amber:#8a5700;--amber-wash:#fbefd6}
@media screen and (prefers-color-scheme:dark){
:root{--paper:#15191f;--ink:#e8ebef;--muted:#a5afba;--soft:#69747f;--rule:#2b323b;--track:#222931;
--blue:#84b6ec;--blue-wash:#1d3146;--slate:#b9c2cc;--slate-wash:#2d353e;--amber:#e7b65a;--amber-wash:#3d301a}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;background:var(--paper)}
body{margin:0;color:var(--ink);background:var(--paper);
font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Noto Sans","Liberation Sans",sans-serif}
main,footer{max-width:46rem;margin:0 auto;padding:0 1rem}
main{padding-top:3.5rem}
h1,h2,h3,p,dl,dd,ol,ul,figure,fieldset{margin:0;padding:0}
h1{font-size:1.9rem;line-height:1.2;font-weight:650;letter-spacing:-.015em;margin-bottom:1.5rem}
h2{font-size:1.3rem;line-height:1.3;font-weight:650;letter-spacing:-.01em;margin-bottom:1rem}
h3{font-size:1rem;font-weight:650;margin:2rem 0 .5rem}
p+p{margin-top:.6rem}
section{margin-top:4rem}
.note,figcaption,.chart-title,.ends{font-size:.86rem;line-height:1.5;color:var(--muted)}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.2rem,1fr));gap:1rem 1.25rem}
dt{font-size:.86rem;color:var(--muted)}
dd{overflow-wrap:anywhere}
.facts dd{font-weight:550}
.facts div:first-child,.facts div:last-child{grid-column:1/-1}
.facts div:nth-child(2){grid-column:span 2}
.scope{margin-top:1.5rem;padding-top:1.25rem;border-top:1px solid var(--rule);display:grid;gap:.75rem 2rem;
grid-template-columns:repeat(auto-fit,minmax(15rem,1fr));font-size:.92rem}
header>.note{margin-top:1rem}
.reflection{margin-top:2.5rem;padding:1.5rem;border:1px solid var(--rule);border-radius:.75rem}
fieldset{border:0;min-width:0}
legend{padding:0;font-size:1.05rem;margin-bottom:.9rem}
.scale{display:grid;grid-template-columns:repeat(10,1fr);gap:.4rem}
.scale label{position:relative;display:block;cursor:pointer}
.scale input{position:absolute;inset:0;width:100%;height:100%;margin:0;opacity:0;cursor:pointer}
.scale span{display:grid;place-items:center;min-height:2.75rem;border:1.5px solid var(--soft);border-radius:.5rem;
font-variant-numeric:tabular-nums}
.scale input:checked+span{border-color:var(--blue);background:var(--blue);color:var(--paper);font-weight:700}
.scale input:focus-visible+span{outline:3px solid var(--blue);outline-offset:2px}
.ends{display:flex;justify-content:space-between;margin-top:.5rem}
.reflection>.note{margin-top:.9rem}
.moments,.cues,.plain,.legend{list-style:none}
.moments li{display:grid;grid-template-columns:auto auto 6.2rem 1fr;gap:.1rem .5rem;align-items:baseline;
padding:.55rem 0 .55rem .9rem;border-left:3px solid var(--blue)}
.moments li.pain{border-left-color:var(--amber)}
.moments li+li{margin-top:.5rem}
.when{font-variant-numeric:tabular-nums;color:var(--muted);white-space:nowrap}
.plain li{padding-left:1.1rem;text-indent:-1.1rem}
.plain li::before{content:"\\2013";display:inline-block;width:1.1rem;text-indent:0;color:var(--muted)}
.plain li+li{margin-top:.3rem}
.moments+.note{margin-top:1rem}
.big{display:grid;grid-template-columns:repeat(auto-fit,minmax(5.4rem,1fr));gap:1rem .75rem;margin-bottom:2rem}
.big b{display:block;font-size:2.1rem;line-height:1.2;font-weight:600;letter-spacing:-.02em;
font-variant-numeric:tabular-nums}
.chart-title{margin-bottom:.5rem}
.legend{display:flex;flex-wrap:wrap;gap:.25rem 1.4rem;font-size:.86rem;margin:0 0 .9rem}
.legend li{display:flex;align-items:center;gap:.5rem}
.legend li span{display:inline-flex;align-items:center;gap:.3rem}
.key{flex:none;overflow:visible}
figcaption{margin-top:.75rem}
figcaption p:first-child{color:var(--ink)}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;font-weight:inherit}
thead th{font-size:.86rem;color:var(--muted);padding:0 0 .5rem}
.numbers td,.numbers thead th+th{text-align:right;padding-left:1rem;font-variant-numeric:tabular-nums}
.numbers td{white-space:nowrap}
.numbers tbody th,.numbers tr:not(.definition) td{padding-top:.65rem;border-top:1px solid var(--rule)}
.numbers .definition td{text-align:left;white-space:normal;padding:0 0 .65rem;font-size:.86rem;line-height:1.5;
color:var(--muted)}
.numbers th[scope=rowgroup]{font-weight:650;border-top:0;padding-top:2rem;padding-bottom:.5rem}
.numbers tbody:first-of-type th[scope=rowgroup]{padding-top:.5rem}
details{margin-top:1.5rem}
summary{cursor:pointer;color:var(--blue);font-size:.92rem;padding:.35rem 0}
.wide{overflow-x:auto;margin-top:.5rem}
.steps{font-size:.86rem;font-variant-numeric:tabular-nums}
.steps th,.steps td{padding:.35rem 1rem .35rem 0;border-top:1px solid var(--rule);min-width:4.5rem}
.steps th[scope=row]{white-space:nowrap}
.cues li{display:grid;grid-template-columns:3.2rem 1fr;gap:.5rem;padding:.9rem 0;border-top:1px solid var(--rule)}
.cues li:last-child{border-bottom:1px solid var(--rule)}
.tag{font-size:.86rem;color:var(--muted)}
.cues p{overflow-wrap:anywhere}
.question{font-size:1.25rem;line-height:1.45;max-width:36rem;margin-bottom:1.5rem}
.lines i{display:block;height:2.2rem;border-bottom:1px solid var(--soft)}
footer{margin-top:4.5rem;padding-bottom:3rem;font-size:.86rem;color:var(--muted)}
footer h2{border-top:1px solid var(--rule);padding-top:2rem;font-size:1rem;color:var(--ink);margin-bottom:.6rem}
footer .made{margin-top:1.25rem;overflow-wrap:anywhere}
@media (max-width:34rem){
main{padding-top:2rem}
section{margin-top:3rem}
h1{font-size:1.6rem}
.reflection{padding:1.1rem}
.scale{grid-template-columns:repeat(5,1fr)}
.moments li{grid-template-columns:auto auto 1fr}
.moments li span:last-child{grid-column:1/-1}
.numbers tr:not(.definition) td,.numbers thead th+th{padding-left:.5rem}
.numbers thead th{font-size:.78rem}
.numbers tbody th{hyphens:auto;overflow-wrap:break-word}
.numbers tr:not(.definition) td,.numbers tbody th{font-size:.92rem}
.numbers td{white-space:normal}
}
@media print{
@page{size:A4;margin:15mm 18mm}
:root{color-scheme:light;font-size:9.8pt}
main,footer{max-width:none;padding-left:0;padding-right:0}
main{padding-top:0}
section{margin-top:8mm}
.reflection{margin-top:6mm}
h1,h2,h3,.chart-title,.legend{break-after:avoid}
h2{margin-bottom:3mm}
h3{margin-top:4mm}
.big{margin-bottom:4mm}
footer{margin-top:8mm;padding-bottom:0}
footer h2{padding-top:5mm}
figure,li,tr,.reflection,.big,.next,.scope,footer{break-inside:avoid}
thead{display:table-header-group}
.numbers tbody th,.numbers tr:not(.definition) td{padding-top:1.2mm}
.numbers .definition td{padding-bottom:1.2mm}
.numbers tr:not(.definition){break-after:avoid}
.numbers th[scope=rowgroup]{padding-top:4mm}
details{display:none}
.scale span{border-color:#555}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}
}
"""

SERVED_STYLE = """
h1+.private{margin-top:-.75rem}
.private{color:var(--muted);margin-bottom:1.5rem}
.private b{font-weight:600;color:var(--ink)}
.private span{color:var(--blue)}
a{color:var(--blue);text-underline-offset:.15em}
.done{padding:.75rem 1rem;border-radius:.5rem;background:var(--blue-wash);margin-bottom:1.5rem}
button,.button{font:inherit;font-weight:600;display:inline-flex;align-items:center;min-height:2.75rem;
padding:.4rem 1.1rem;border:1.5px solid var(--blue);border-radius:.5rem;background:var(--paper);color:var(--blue);
text-decoration:none;cursor:pointer}
button:hover,.button:hover{background:var(--blue-wash)}
button.first{background:var(--blue);color:var(--paper)}
.buttons{display:flex;flex-wrap:wrap;gap:.6rem;margin-top:.9rem}
input[type=date],textarea{font:inherit;color:inherit;background:var(--paper);border:1.5px solid var(--soft);
border-radius:.5rem;min-height:2.75rem;padding:.4rem .6rem;max-width:100%}
textarea{width:100%;min-height:5rem}
:is(a,button,input,textarea,summary,[tabindex]):focus-visible{outline:3px solid var(--blue);outline-offset:2px}
.own details{margin-top:0}
.problem{padding:.75rem 1rem;border-radius:.5rem;background:var(--amber-wash);margin:.75rem 0}
.days{display:flex;flex-wrap:wrap;gap:.75rem 1rem;align-items:end;margin-top:.5rem;padding:1.1rem 1.25rem 1.25rem;
border:1px solid var(--rule);border-radius:.75rem}
.days label:not(.tick){display:grid;gap:.25rem;font-size:.86rem;color:var(--muted)}
.days label input{font-size:1rem;color:var(--ink)}
.shorter{display:flex;gap:1.25rem}
.shorter a{padding:.6rem 0}
.shorter [aria-current]{color:var(--ink);font-weight:600;text-decoration:none}
.tick{display:flex;gap:.7rem;align-items:center;min-height:2.75rem;flex-basis:100%;cursor:pointer}
.tick input{flex:none;width:1.35rem;height:1.35rem;margin:0;accent-color:var(--blue)}
.days .note{flex-basis:100%;margin:-.6rem 0 .4rem 2.05rem}
.own .big{display:flex;flex-wrap:wrap;gap:1rem 2.5rem;margin:1.75rem 0 0}
.own .big p{margin:0;color:var(--muted);font-size:.92rem}
.own .big b{color:var(--ink);white-space:nowrap}
.moments.of-days li{grid-template-columns:auto 1fr}
.moments.of-days li+li{margin-top:0}
.moments.of-days>li+li{margin-top:1rem}
.moments.of-days ul{grid-column:2;list-style:none;padding:.2rem 0 0;margin:0;display:flex;flex-wrap:wrap;gap:0 1.25rem}
.moments.of-days ul li{display:block;padding:.15rem 0;border:0;font-variant-numeric:tabular-nums;font-size:.92rem}
p+.moments{margin-top:1rem}
.trends{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr));gap:2.25rem 2.5rem;
margin-top:1.5rem}
.trend h3{margin:0}
.trend:first-child{grid-column:1/-1}
.trend .value b{font-size:1.5rem;font-weight:600;letter-spacing:-.01em;font-variant-numeric:tabular-nums}
.trend p{margin:0}
.trend .chart{margin:.6rem 0 .5rem}
.trend+.legend,.trends+p{margin-top:1rem}
section>.legend{margin-top:1rem}
.load figure{margin-top:1.25rem}
.strips{list-style:none;font-size:.86rem;font-variant-numeric:tabular-nums}
.strips li{display:grid;grid-template-columns:4.9rem 1fr 11.5rem;gap:0 .9rem;align-items:center;padding:.1rem 0}
.strips li>*{white-space:nowrap;min-width:0}
.strips li>b{font-weight:550}
.strips li>span{color:var(--muted);line-height:1.35}
.strips .week{margin-top:.8rem}
.strips .clock div{display:flex;justify-content:space-between;color:var(--muted);margin:0 -.35rem}
.pauses{list-style:none;display:grid;gap:.75rem;margin-bottom:1rem}
.pauses li{padding:1rem 1.25rem;border-radius:.75rem;background:var(--blue-wash)}
.pauses li b{font-weight:600}
.pauses .note{color:var(--ink);margin-top:.25rem}
.terms .numbers{margin-top:1.5rem}
.keep .plain li+li{margin-top:.5rem}
.delete{margin-top:.6rem}
.rooms,.listed{list-style:none}
.rooms{display:grid;gap:.75rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,14rem),1fr))}
.rooms a{display:block;height:100%;padding:1rem 1.25rem;border:1px solid var(--rule);border-radius:.75rem;
color:var(--ink);text-decoration:none}
.rooms a:hover{border-color:var(--blue)}
.rooms b{display:block;color:var(--blue);font-size:1.05rem;font-weight:650}
.rooms span{color:var(--muted);font-size:.92rem}
.listed li{display:grid;grid-template-columns:1fr auto;gap:.1rem 1rem;align-items:center;padding:.15rem 0;
border-top:1px solid var(--rule)}
.listed li:last-child{border-bottom:1px solid var(--rule)}
.listed b{font-weight:600;font-variant-numeric:tabular-nums}
header+nav{margin-top:1.25rem}
.listed .note{display:inline;margin-left:.75rem}
.listed .marks{color:var(--ink)}
.listed .quote{display:block;overflow-wrap:anywhere}
.listed .to{display:flex;gap:.25rem 1rem;flex-wrap:wrap;justify-content:end}
.listed .to a{padding:.6rem 0}
.share label:not(.tick){display:grid;gap:.3rem;margin-top:1rem}
.share .buttons{margin:1.25rem 0}
.delete button{margin-top:.5rem}
@media (max-width:34rem){
.strips li{grid-template-columns:4.9rem 1fr;padding:.35rem 0}
.strips li>span{grid-column:2}
.strips .clock>span{display:none}
.strips .clock div{grid-column:2}
.days label:not(.tick){flex:1 1 8rem}
.listed li{grid-template-columns:1fr;padding:.6rem 0 0}
.listed .to{justify-content:start}
.days input[type=date]{width:100%}
}
@media print{
form,.buttons,.private a,.keep h3,.keep h3+p,.shorter,.keep form+p,.problem{display:none}
.trend,.strips li,.pauses li{break-inside:avoid}
.trends{grid-template-columns:1fr 1fr;gap:4mm 8mm}
.load>p,.strips .clock{break-after:avoid}
.pauses li{border:1px solid var(--rule);background:none}
.strips li{padding:.4mm 0}
}
"""

CALL_STYLE = """
.call .sheet+.sheet{margin-top:4rem}
.call .plain li{overflow-wrap:anywhere}
.on-paper{display:none}
.ways{display:flex;flex-wrap:wrap;gap:.25rem 1rem;margin:-2rem 0 2rem;font-size:.86rem}
.ways a{color:var(--blue);padding:.35rem 0}
.ways a:first-child{margin-right:auto}
.reflection .own-score{display:flex;align-items:baseline;gap:.75rem}
.own-score b{font-size:2.6rem;line-height:1.1;font-weight:600;color:var(--blue);font-variant-numeric:tabular-nums}
blockquote{margin:.75rem 0 0;padding-left:1rem;border-left:3px solid var(--blue);overflow-wrap:anywhere;
white-space:pre-line}
.reflection form>*+*{margin-top:.9rem}
.words{display:block}
.words span{display:block;font-size:.92rem;margin-bottom:.35rem}
.told{font-size:1.05rem}
.told+div{margin-top:1.5rem}
.passage{display:block}
.big .own{border-left:3px solid var(--blue);padding-left:.75rem}
.big .own b{color:var(--blue)}
.measures h3{margin-top:0}
.measures figure+figure{margin-top:2rem}
.plain+h3,.moments+h3{margin-top:1.5rem}
.pain .note+.plain{margin-top:.6rem;font-size:.92rem}
.cues .tag{margin-right:.6rem}
.cues .note{margin-top:.25rem}
.rated{font-size:.86rem;font-weight:600;white-space:nowrap}
.rated::before{content:"";display:inline-block;width:.55rem;height:.55rem;margin-right:.35rem;border-radius:50%;
border:1.5px solid currentColor}
.rated.yes{color:var(--blue)}
.rated.yes::before{background:currentColor}
.rated.no{color:var(--amber)}
@media print{
@page call{size:A4;margin:10mm 15mm}
body:has(.call){page:call}
:root:has(.call){font-size:8.2pt}
.call .sheet+.sheet{margin-top:0;break-before:page}
.call section{margin-top:3.5mm}
.call h1{font-size:15pt;margin-bottom:2mm}
.call h2{font-size:11pt;margin-bottom:1mm}
.call h3{margin:2mm 0 1mm}
.call :is(p,li,td,th,dt,dd,blockquote){line-height:1.35}
.call .facts{grid-template-columns:repeat(4,1fr);gap:1mm 4mm}
.call .facts div{grid-column:auto!important}
.call .facts div:last-child{grid-column:span 2!important}
.call .facts dd{display:-webkit-box;-webkit-line-clamp:2;-webkit-box-orient:vertical;overflow:hidden}
.call .scope{margin-top:1.5mm;padding-top:1.5mm;gap:0 6mm;grid-template-columns:1fr 1fr;font-size:.86rem}
.call header>.note{margin-top:1mm}
.call .reflection{margin-top:3mm;padding:2mm 4mm}
.call legend{font-size:.95rem;margin-bottom:1.5mm}
.call .scale span{min-height:6mm}
.call .ends{margin-top:1mm}
.call .reflection>.note{margin-top:1mm}
.own-score b{font-size:18pt}
blockquote{margin-top:1mm;display:-webkit-box;-webkit-line-clamp:3;-webkit-box-orient:vertical;overflow:hidden}
.story{display:grid;grid-template-columns:1fr 1fr;column-gap:8mm}
.story .good{grid-area:1/1}
.story .pain{grid-area:1/2}
.story .journey{grid-area:2/1/3/3}
.call .moments li{grid-template-columns:auto auto 1fr;padding:.6mm 0 .6mm 2.5mm}
.call .moments li span:last-child{grid-column:1/-1}
.call .moments li+li{margin-top:.6mm}
.call .plain li+li{margin-top:.5mm}
.call .big{gap:2mm 3mm;margin-bottom:2mm}
.call .big b{font-size:16pt}
.call .journey h3{margin-top:0}
.call .legend{gap:0 4mm;margin-bottom:1.5mm}
.call .chart-title{margin-bottom:1mm}
.call .chart{zoom:.62}
.lanes .chart{zoom:.68}
.lanes :is(.chart-title,.legend){display:inline-flex;margin-right:4mm}
.call :is(.lanes,.voices) .more{display:none}
.call figcaption{margin-top:1mm}
.call figcaption .more{font-size:.92em}
.call figcaption p+p{margin-top:.5mm}
.call .told{font-size:1rem}
.call .told+p{margin-top:.5mm}
.call .told+div{margin-top:2mm}
.measures{display:grid;grid-template-columns:1fr 1fr;column-gap:6mm}
.measures figure+figure{margin-top:0}
.measures .chart{zoom:.62}
.measures :is(h3,.chart-title){display:inline;margin-right:2mm}
.twins{display:grid;grid-template-columns:1fr 1fr;column-gap:8mm;grid-template-rows:auto 1fr}
.twins .numbers{grid-area:1/1/3/2}
.twins .cues{grid-area:1/2}
.twins .next{grid-area:2/2}
.call .numbers .definition,.call .numbers .satisfaction,.call .cues .proof{display:none}
.call .numbers tr:has([scope=rowgroup]){display:none}
.call table.numbers{font-size:.92rem}
.call .numbers tbody+tbody>tr:nth-child(2)>*{border-top-color:var(--soft)}
.call .numbers thead th{padding-bottom:.5mm}
.call .numbers tbody th,.call .numbers tr:not(.definition) td{padding-top:.4mm;padding-bottom:.4mm}
.call .cues li{padding:.8mm 0;grid-template-columns:9mm 1fr;gap:1mm}
.call .cues li:nth-child(n+4),.call .cues p.on-screen{display:none}
.call .on-paper{display:block}
.call .plain li{display:-webkit-box;-webkit-line-clamp:3;-webkit-box-orient:vertical;overflow:hidden}
.call .cues p{display:-webkit-box;-webkit-line-clamp:2;-webkit-box-orient:vertical;overflow:hidden}
.call .question{font-size:1.1rem;margin-bottom:2mm}
.call .lines i{height:5.5mm}
.call .ways,.call form:not(.reflection form),.call .share,.call .reflection :is(textarea,button,.words){display:none}
.call .reflection form{display:block}
:root:has(.call) footer{margin-top:3mm;font-size:.74rem;line-height:1.3}
:root:has(.call) footer h2{padding-top:2mm;font-size:.95rem;margin-bottom:1mm}
:root:has(.call) footer p+p{margin-top:.5mm}
:root:has(.call) footer .made{margin-top:1mm}
}
"""

PRIVACY_STYLE = """
.privacy section>p+*{margin-top:1rem}
.lives,.entries,.states{list-style:none}
.lives li{padding:.7rem 0}
.lives .name{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 1rem}
.lives .name b{font-weight:600}
.lives .name span{font-variant-numeric:tabular-nums;color:var(--muted)}
.lives .strip{display:block;height:1rem;margin:.3rem 0 .35rem}
.lives .strip .calls{fill:var(--blue)}
.lives .strip .fleeting{fill:var(--soft)}
.lives+.note{margin-top:.25rem}
.privacy .days .buttons{grid-column:1/-1;margin-top:.25rem}
.lives .axis{padding:0;font-size:.8rem;color:var(--muted)}
.lives .axis div{position:relative;height:1.4rem}
.lives .axis span{position:absolute;transform:translateX(-50%);white-space:nowrap}
.at-minute{left:11.2%}.at-hour{left:36.7%}.at-day{left:56.5%}.at-month{left:77.7%}.at-year{left:93.2%}
.shares{display:block;width:100%;height:1.75rem;border-radius:.35rem}
.states{display:flex;flex-wrap:wrap;gap:.35rem 1.5rem;margin-top:.75rem;font-size:.92rem}
.states b,.entries .when{font-variant-numeric:tabular-nums}
.states .dot{display:inline-block;width:.8rem;height:.8rem;border-radius:.2rem;margin-right:.45rem;
vertical-align:-.05rem}
.shares .consent{fill:var(--blue)}.dot.consent{background:var(--blue)}
.shares .notice{fill:var(--slate)}.dot.notice{background:var(--slate)}
.shares .none{fill:var(--soft);opacity:.45}.dot.none{background:var(--soft);opacity:.45}
.shares .withdrawn{fill:var(--amber)}.dot.withdrawn{background:var(--amber)}
.privacy code{font:.86rem/1.5 ui-monospace,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
.privacy .done b{color:var(--blue)}
.privacy form{margin-bottom:1.5rem}
.privacy input[type=date]{width:100%;min-width:0}
.privacy :is(select,input:not([type=date])){font:inherit;color:inherit;background:var(--paper);min-height:2.75rem;
border:1.5px solid var(--soft);border-radius:.5rem;padding:.4rem .6rem;max-width:100%;width:100%}
.privacy .days{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,9rem),1fr))}
.privacy :is(select,input,button):focus-visible{outline:3px solid var(--blue);outline-offset:2px}
.entries li{display:grid;grid-template-columns:10.5rem 1fr;gap:.15rem 1rem;padding:.75rem 0;
border-top:1px solid var(--rule)}
.entries li:last-child{border-bottom:1px solid var(--rule)}
.entries p+p{margin-top:0}
.entries b{font-weight:600}
.entries :is(.about,.by,.note){overflow-wrap:anywhere}
.entries .when,.entries .by{font-size:.92rem}
.entries .when{white-space:normal}
.settings{display:grid;gap:.6rem}
.settings dd{font:.86rem/1.5 ui-monospace,"DejaVu Sans Mono",monospace}
@media (max-width:34rem){
.entries li{grid-template-columns:1fr}
}
@media print{
.privacy form{display:none}
}
"""

DOCUMENT_STYLE = """
.document{font-size:1.02rem;line-height:1.6}
.document header{font-size:1rem}
.document :is(h1,h2,h3,p,li){overflow-wrap:break-word}
.document :is(h1,h2,h3){hyphens:auto}
.document h2{margin:3rem 0 .8rem;scroll-margin-top:1rem}
.document h3{font-size:1.08rem;margin:1.9rem 0 .4rem}
.document p+ul,.document p+ol,.document li>p+p{margin-top:.4rem}
.document :is(ul,ol){padding-left:1.35rem;margin:.4rem 0 .9rem}
.document li{margin-top:.3rem}
.document .contents{margin:2rem 0 0;padding:1.1rem 1.25rem;border:1px solid var(--rule);border-radius:.75rem}
.document .contents h2{font-size:1rem;margin:0 0 .3rem}
.document .contents ol{columns:15rem 2;column-gap:2rem;margin:0;padding:0;list-style:none}
.document .contents+p{margin-top:2rem}
.papers{grid-template-columns:repeat(auto-fill,minmax(min(100%,20rem),1fr));margin-top:1.5rem}
.papers b{hyphens:auto;overflow-wrap:break-word}
.document .contents li{break-inside:avoid;margin:0;padding:.25rem 0}
.document .wide{margin:1rem 0 1.2rem}
.document table{font-size:.94rem;line-height:1.45}
.document :is(th,td){padding:.5rem 1.1rem .5rem 0;border-top:1px solid var(--rule);hyphens:auto}
.document thead th{border-top:0;padding-bottom:.4rem;white-space:normal}
.document tbody td:first-child{font-weight:550}
.document blockquote{margin:1rem 0;padding:.9rem 1.15rem;border-left:3px solid var(--blue);background:var(--blue-wash);
border-radius:0 .5rem .5rem 0}
.document blockquote h3{margin-top:0}
.document mark{background:var(--amber-wash);color:var(--ink);padding:.05em .2em;border-radius:.2em;
box-decoration-break:clone;-webkit-box-decoration-break:clone}
.document code{font-size:.92em;overflow-wrap:anywhere}
.document .private{margin-bottom:.4rem}
@media (max-width:34rem){
.document{font-size:1rem}
.document table{min-width:30rem}
}
@media print{
.document{font-size:10pt;line-height:1.45}
.document .buttons,.document header .note{display:none}
.document .problem{display:block;border:1px solid var(--rule)}
.document .contents{border:0;padding:0}
.document h2{margin:7mm 0 2mm}
.document h3{margin:4mm 0 1mm}
.document :is(h2,h3){break-after:avoid}
.document li{break-inside:auto}
.document p{orphans:3;widows:3}
.document a{color:inherit;text-decoration:none}
.document .wide{overflow:visible}
.document table{font-size:9pt}
.document mark{border-bottom:1px solid #999}
}
"""

STYLE = (
    PAGE_STYLE
    + SERVED_STYLE
    + PRIVACY_STYLE
    + CALL_STYLE
    + DOCUMENT_STYLE
    + charts.CHART_STYLE
    + pictures.PICTURE_STYLE
)
STYLE_HASH = f"sha256-{b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}"
"""By which a content security policy allows it, and no other style in a page."""
