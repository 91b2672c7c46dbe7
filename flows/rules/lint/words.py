"""Words that give a criterion away, in English and German, as patterns; each list names one failing.

Kept short on purpose: a word is in here when it nearly always means that failing in an exit criterion.
"""

import re
from collections.abc import Mapping


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile(r"(?<!\w)(?:" + "|".join(patterns) + r")(?!\w)", re.IGNORECASE)


# Not in every sale: Required.
OPTIONAL = _any(
    r"if (?:applicable|needed|necessary|required|relevant|possible|appropriate|desired|any|wanted|time permits)",
    r"(?:when|where|as) (?:applicable|needed|necessary|required|relevant|possible|appropriate)",
    r"optional(?:ly)?|ideally|preferably|nice to have|usually|normally|typically|in most cases|sometimes",
    r"may or may not|not always|unless",
    r"falls (?:nötig|notwendig|erforderlich|vorhanden|gewünscht|zutreffend|möglich|relevant|sinnvoll)",
    r"wenn (?:nötig|möglich|gewünscht|erforderlich|vorhanden)|(?:bei|nach) bedarf|gegebenenfalls|ggf\.?",
    r"optionale?[rsn]?|idealerweise|in der regel|meistens|manchmal|üblicherweise|eventuell|evtl\.?",
)

# A feeling or a guess: Factual.
FEELING = _any(
    r"feels?|felt|seems?|seemed|appears? to|looks? (?:good|promising|like)|sounds? (?:good|promising)",
    r"(?:un)?likely|probably|presumably|maybe|perhaps|hopefully|might|we (?:hope|think|believe|expect|assume)",
    r"(?:is|are|be|very|really|highly|was|genuinely) (?:interested|keen|happy|excited|engaged|committed to us)",
    r"(?:shows?|showed|shown|strong|real|genuine|serious) interest|interested|enthusias\w+|impressed|convinced",
    r"confident|confidence|gut feeling",
    r"(?:good|great|strong|positive) (?:call|chance\w*|champion|conversation|feedback|feeling|fit|impression|meeting)",
    r"(?:good|great|strong|positive) (?:relationship|signals?|talk|vibe\w*)|relationship (?:is )?(?:built|established)",
    r"(?:is|are) committed|on our side|ready to (?:buy|close|move|sign)|understands?|comfortable|sees? the value",
    r"urgent(?:ly)?",
    r"trusts? us|likes? (?:us|our|the)|rapport|warmed up|believes? in|loves? (?:us|our|the|it)|badly|optimistic",
    r"motivated|eager|serious about|(?:buyer|client|customer|deal|lead|prospect|they) (?:is|are) (?:hot|ready)",
    r"(?<!that )(?<!what )(?<!which )(?<!who )(?:may|could) (?:be|have|well)|can be (?:met|reached|won)|promising",
    r"wahrscheinlich\w*|vermutlich|voraussichtlich|hoffentlich|vielleicht|scheint|scheinen|wirkt|gefühl\w*",
    r"interessiert|interesse|überzeugt|begeistert|zuversichtlich|zufrieden|eindruck|vertraut uns",
    r"gute[ns]? (?:beziehung|chancen?|gespräch|gefühl)|gut angekommen|verstanden|kaufbereit|steht hinter uns|dringend",
    r"wir (?:glauben|hoffen|denken|erwarten)",
)

# A share of certainty: Factual. A discount or a part payment is a fact and is left alone.
PERCENTAGE = re.compile(
    r"\d+(?:[.,]\d+)?\s?(?:%|percent\b|per cent\b|prozent\b)|\b(?:probability|wahrscheinlichkeit|chances?)\b",
    re.I,
)
MONEY_SHARE = _any(
    r"discount\w*|paid|pay\w*|deposit|prepay\w*|share|margin|vat|tax\w*|down payment|uptime|availability|commission",
    r"rabatt\w*|nachlass|anzahlung|bezahlt|zahlung\w*|anteil|marge|mwst\.?|umsatzsteuer|verfügbarkeit|provision",
)

# Neither yes nor no: Factual.
VAGUE = _any(
    r"enough|sufficient(?:ly)?|adequate(?:ly)?|reasonabl[ey]|appropriate(?:ly)?|soon|asap|ongoing|in progress",
    r"working on|trying to|as far as|more or less|various|properly|and so on|etc",
    r"well (?:understood|qualified|informed)|(?:progress(?:es|ing)?|going|going on|moving) (?:nicely|well)|on track",
    r"(?:deal|lead|opportunity|prospect) (?:is|was) (?:advanced|good|qualified)",
    r"(?:awareness|clarity|understanding) (?:about|of|on)",
    r"aligned|alignment|verbal(?:ly)?|orally|mündlich\w*|auf (?:gutem|einem guten) weg",
    r"genug|genügend|ausreichend\w*|hinreichend\w*|angemessen\w*|bald|demnächst|laufend\w*|in arbeit|weitgehend",
    r"einigermaßen|mehr oder weniger|usw\.?|verschiedene",
)
QUESTION = re.compile(
    r"\?\s*$|^(?:how|what|why|who|when|which|wie|was|warum|wer|wann|welche[rsmn]?)\s.*\?*$", re.IGNORECASE
)

# An order to somebody: Factual. It is done or not, but the sentence says neither.
ORDER = re.compile(
    r"^(?:ask|book|build|call|check|confirm|determine|discuss|email|ensure|establish|explore|find|follow|get|identify|"
    r"make sure|obtain|prepare|present|qualify|schedule|send|show|uncover|understand|update|verify)\s"
    r"|\s(?:abklären|anrufen|einholen|erfragen|ermitteln|erstellen|herausfinden|klären|nachfassen|prüfen|schicken|senden|"
    r"verschicken|vereinbaren|versenden|vorstellen)\.?$",
    re.IGNORECASE,
)

# Goes on where we cannot look: Inspectable.
INTERNAL = _any(
    r"internal(?:ly)?|among themselves|between themselves|behind closed doors|sle(?:ep|eps|eping|pt) on it",
    r"(?:speak|spoke|spoken|talk(?:s|ed|ing)?) (?:to|with) (?:his|her|their) \w+|talk(?:s|ed|ing)? it over",
    r"in their meeting",
    r"th(?:ink|inks|inking|ought) (?:it |this |about |the \w+ )?(?:over|through|about)|consider(?:s|ed|ing)?",
    r"(?:board|committee|management|buyer|team|they|customer|prospect)s? (?:has |have )?(?:discuss|debat|reflect)\w*",
    r"ask(?:s|ed)? (?:a|his|her|their|the) (?:colleague|boss|manager|team|spouse)\w*|made up (?:his|her|their) minds?",
    r"on board|bought in|buy-in|intern(?:e[rsnm]?)?|unter sich|beraten|berät|diskutiert|überschlafen|nachgedacht",
    r"überlegt|durchdacht|abgewogen|(?:seinen|ihren|einen) (?:chef|kollegen|vorgesetzten) gefragt",
)
# ... unless the sentence says how we came to know.
TOLD = _any(
    r"told (?:us|me)|(?:has|have) (?:named|told|sent|given|confirmed|shared|signed|written|stated|accepted|approved)",
    r"confirm\w*|in writing|written|minutes|by e-?mail|with us|to us|signed|informed us|named",
    r"(?:uns|mit uns) (?:\w+ )*(?:gesagt|mitgeteilt|bestätigt|genannt|geschickt|geteilt)|mitgeteilt|bestätigt",
    r"schriftlich|protokoll|per e-?mail|unterschrieben|genannt",
)

# ... and these decide among themselves, unless the sentence says that they told us.
BOARD = _any(
    r"(?:board|committee|leadership|management)(?:'s)? (?:has |have )?(?:already )?(?:agreed|approved|decided|voted)",
    r"(?:vorstand|geschäftsführung|gremium|geschäftsleitung) hat\b.*\b(?:beschlossen|entschieden|genehmigt|zugestimmt)",
)
TOLD_US = _any(
    r"t(?:ell|old) (?:us|me)|confirm\w*|(?:shown|sent|given|with|to) (?:us|me)|in writing|written|minutes",
    r"by e-?mail|signed",
    r"uns|bestätigt|mitgeteilt|schriftlich|protokoll|per e-?mail|unterschrieben",
)

_SELLER = r"(?:we|the rep|rep|our \w+|sales|i|you|the seller|seller|the account executive|ae|sdr)"
_DID = (
    r"(?:sent|called|e-?mailed|mailed|presented|shown|showed|given|gave|made|held|prepared|delivered|followed|contacted|"
    r"pitched|demoed|demonstrated|shared|submitted|scheduled|left|reached|visited|invited|completed|done|offered|created|"
    r"written|drafted|introduced|explained|run|met|phoned)"
)
# The seller did something, whatever came of it: Buyer-centric.
SELLER_ACT = re.compile(
    rf"^(?:{_SELLER}(?: have| has|'ve)? (?:already |now )?{_DID}\b"
    rf"|(?:an? |the |our |first |second |intro )*(?:e-?mail|proposal|demo|presentation|call|brochure|pitch|offer|quote|"
    rf"contract|deck|voicemail|invitation|meeting|reminder)s? (?:has been |have been |was |were |is )?{_DID}\b"
    r"|(?:wir haben|der vertrieb hat|der verkäufer hat|vertrieb hat)\b.*\b(?:gesendet|geschickt|versandt|angerufen|"
    r"gesandt|präsentiert|vorgeführt|gezeigt|verschickt|besucht|erstellt|gehalten|kontaktiert|vorgestellt|eingeladen|"
    r"geschrieben)\b"
    r"|(?:angebot|präsentation|demo|e-?mail|broschüre|vertrag|einladung)\b.*\b(?:gesendet|geschickt|versandt|verschickt|"
    r"gehalten|vorgeführt|gezeigt|erstellt)\b)",
    re.IGNORECASE,
)
SELLER_STEP = re.compile(
    r"^(?:we|our|the rep|rep|sales|the seller|wir|unser\w*|der vertrieb)\b|^(?:receives|gets) our\b",
    re.IGNORECASE,
)

# Our own house-keeping: Buyer-centric. The buyer is no further for it.
SELLER_INTERNAL = _any(
    r"(?:our|sales|revenue|commit|approved the) forecast|forecast (?:category|is|was|has)|in forecast|quota",
    r"(?:sales|our|monthly|quarterly|quarter's) targets?|deal desk|pipeline review",
    r"(?:our|sales) (?:boss|director|lead|manager|vp)",
    r"(?:updated?|entered|logged|maintained) (?:in )?(?:the |our )?(?:crm|hubspot)",
    r"(?:crm|hubspot) (?:record )?(?:has been |is |was )?(?:clean|complete|filled|maintained|up to date|updated)",
    r"vertriebsleit\w*|umsatzziel\w*|unser(?:e|em)? (?:chefin|chef|leitung)|(?:crm|hubspot) (?:ist|wurde) (?:\w+ )?"
    r"(?:aktualisiert|ausgefüllt|gepflegt)",
)

# Chasing as a criterion: Buyer-centric. It has its own place, follow_up. A meeting to come is something else.
CHASED = _any(
    r"follow(?:ed|ing|s)?[ -]?up(?![ -](?:appointment|call|date|demo|meeting|session|visit|workshop))",
    r"(?:we|rep|sales) (?:are |is |still )?(?:await|wait)\w*|chas(?:ed|es|ing)|touch(?:ed)? base|circled back",
    r"check(?:ed|s|ing)? in with|(?:e-?mail|reminder)s? (?:was |were )?sent again|remind(?:ed|ing|s) the \w+",
    r"nachgefasst|nachgehakt|nachfass\w*|wir warten|wartet auf|wiedervorlage",
)

# Waiting and chasing: never a stage.
FOLLOW_UP = _any(
    r"follow(?:ing)?[ _-]?ups?|chas(?:e|ing)|nurtur(?:e|ing)|waiting(?: for .*)?|on hold|pending|reminders?",
    r"no response|awaiting .*|nachfass\w*|nachhaken|wiedervorlage|warte\w*|in wartestellung|erinnerung\w*|pausiert",
)

# Holds a place in the file, or tells the rep to chase: says nothing about how the buyer is helped.
PLACEHOLDER = _any(
    r"tbd|tbc|todo|to do|to be (?:defined|done|decided)|n/?a|none|nothing|same as (?:above|before)|x+",
    r"see above|lorem.*",
    r"offen|entfällt|keine?|nichts|wie oben|siehe oben|sell|verkaufen",
)
CHASING = _any(
    r"follow(?:ing)? up|chase|check(?:ing)? in|touch base|wait(?:ing)?|push(?:ing)?|circle back",
    r"keep pushing|sell harder",
    r"close the deal|convince|persuade|hit (?:the )?quota|nachfassen|nachhaken|abwarten|drängen|druck machen|überreden",
)

# What a sentence speaks of when it can be proven by this evidence. A kind that is not listed is taken on trust.
TOPICS: Mapping[tuple[str, str], re.Pattern[str]] = {
    ("property", "amount"): re.compile(
        r"budget|price|pricing|amount|value|sum\b|cost|worth|money|spend|fund|€|\$|eur\b|usd\b|betrag|preis|kosten|wert|"
        r"geld|summe|volumen|mittel",
        re.I,
    ),
    ("property", "dealflow_need"): re.compile(
        r"need|problem|requirement|want|pain|goal|challenge|ask|look\w* for|bedarf|bedürf|problem|anforder|ziel|wunsch|"
        r"wünsch|brauch|herausforder|benötig",
        re.I,
    ),
    ("property", "closedate"): re.compile(
        r"date|when|by\b|deadline|day|week|month|quarter|time|start|termin|datum|wann|bis\b|frist|tag|woche|monat|quartal|zeit",
        re.I,
    ),
    ("property", "dealflow_starts_on"): re.compile(
        r"start|begin|date|when|day|go[- ]?live|beginn|datum|wann|tag|ab\b", re.I
    ),
    ("property", "hubspot_owner_id"): re.compile(
        r"owner|rep\b|responsib|assign|account (?:manager|executive)|who|colleague|zuständig|verantwort|"
        r"zugewiesen|inhaber|wer\b",
        re.I,
    ),
    ("contact", "signer"): re.compile(r"sign|unterschr|unterzeich|zeichn", re.I),
    ("contact", "decision_maker"): re.compile(r"deci|approv|say\b|entsch|freig", re.I),
    ("document", "proposal"): re.compile(r"propos|offer|quot|document|angebot|dokument|vorschlag", re.I),
    ("document", "contract"): re.compile(
        r"contract|agreement|document|paper|vertrag|vereinbarung|dokument", re.I
    ),
    ("signature", "completed"): re.compile(
        r"sign|contract|agreement|unterschr|unterzeich|vertrag|vereinbarung", re.I
    ),
}
